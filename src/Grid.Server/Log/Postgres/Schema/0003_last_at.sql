-- compatible: 2
-- A channel's row tells the time of its last message too, so that an activation need not look for that message in all partitions.

-- Null: nothing was appended since this column is there.
alter table channels add column last_at bigint;

-- Appends of many channels, each channel once. One transaction: for each append all of its messages and keys, or nothing. Answers
-- with the appends that were refused: with the head where it is elsewhere, or with the offsets whose keys are known and what
-- they belong to.
create or replace function append_messages(
    _names text[], _epochs text[], _heads bigint[], _counts int[], _bytes bigint[], _ats bigint[], _buckets int[], _fresh boolean,
    _run_append int[], _run_last bigint[], _run_count int[], _run_total bigint[], _run_at bigint[], _run_body bytea[],
    _key_append int[], _key_offset bigint[], _key bytea[], _key_buckets int[], _key_expires bigint[],
    _now bigint)
returns table (o_append int, o_epoch text, o_head bigint, o_offsets bigint[], o_seen bigint[])
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    _ids bigint[];
    _totals bigint[];
    _ok boolean[];
    _all boolean;
    _lasts bigint[] := array_fill(0::bigint, array[cardinality(_names)]);
    _row record;
begin
    -- 1. Channels never written. All transactions go through names in one order, here and below, so none waits in a circle.
    if _fresh then
        insert into channels (name, namespace, epoch)
        select r.name, namespace_of(r.name), r.epoch
        from unnest(_names, _epochs, _heads) r(name, epoch, head)
        where r.head = 0 and r.epoch = (select s.value from store s where s.name = 'epoch')
        order by r.name collate "C"
        on conflict do nothing;
    end if;

    -- 2. The fence: each channel's row is locked, and its head compared.
    with locked as materialized (
        select r.i, c.id, c.total, c.epoch = r.epoch and c.head = r.head as ok
        from unnest(_names, _epochs, _heads) with ordinality r(name, epoch, head, i)
        join channels c on c.name = r.name
        order by c.name
        for no key update of c)
    select array_agg(s.id), array_agg(s.total), array_agg(s.ok), bool_and(s.ok)
    into _ids, _totals, _ok, _all
    from (
        select l.id, l.total, coalesce(l.ok, false) as ok
        from generate_subscripts(_names, 1) n(i)
        left join locked l on l.i = n.i
        order by n.i) s;

    if not _all then
        return query
        select n.i, coalesce(c.epoch, (select s.value from store s where s.name = 'epoch')), coalesce(c.head, 0), null::bigint[], null::bigint[]
        from generate_subscripts(_names, 1) n(i)
        left join channels c on c.name = _names[n.i]
        where not _ok[n.i];
    end if;

    -- 3. The keys, under the lock.
    if cardinality(_key_append) > 0 then
        for _row in
            select k.a, array_agg(k.o order by k.o) as offsets, array_agg(t.message order by k.o) as seen
            from unnest(_key_append, _key_offset, _key) k(a, o, key)
            join keys t on t.channel = _ids[k.a] and t.key = k.key and t.expires > _now and t.bucket >= _now / 3600000
            where _ok[k.a]
            group by k.a
        loop
            _ok[_row.a] := false;
            o_append := _row.a;
            o_epoch := _epochs[_row.a];
            o_head := _heads[_row.a];
            o_offsets := _row.offsets;
            o_seen := _row.seen;
            return next;
        end loop;

        insert into keys (channel, message, expires, bucket, key)
        select _ids[k.a], k.o, _key_expires[k.a], _key_buckets[k.a], k.key
        from unnest(_key_append, _key_offset, _key) k(a, o, key)
        where _ok[k.a];
    end if;

    -- 4. The messages, and the new heads.
    insert into messages (channel, last, total, at, count, bucket, body)
    select _ids[r.a], r.last, _totals[r.a] + r.total, r.at, r.count, _buckets[r.a], r.body
    from unnest(_run_append, _run_last, _run_count, _run_total, _run_at, _run_body) r(a, last, count, total, at, body)
    where _ok[r.a];

    for _run in 1..cardinality(_run_append) loop
        _lasts[_run_append[_run]] := _run_at[_run];
    end loop;

    update channels c
    set head = r.head + r.count,
        last_at = _lasts[r.i],
        total = c.total + r.bytes,
        oldest_at = case when c.head < c.oldest then r.at else c.oldest_at end
    from unnest(_heads, _counts, _bytes, _ats) with ordinality r(head, count, bytes, at, i)
    where c.id = _ids[r.i] and _ok[r.i];
end
$$;

drop function heads(text[]);

-- How far channels reach, and the time of their last message (0 for none); each by its place in what was asked.
create function heads(_names text[])
returns table (o_index int, o_epoch text, o_oldest bigint, o_head bigint, o_last_at bigint)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    select r.i::int, coalesce(c.epoch, (select s.value from store s where s.name = 'epoch')), coalesce(c.oldest, 1), coalesce(c.head, 0),
        case when c.head > 0 then coalesce(
            c.last_at, (select m.at from messages m where m.channel = c.id and m.last = c.head), 0) else 0 end
    from unnest(_names) with ordinality r(name, i)
    left join channels c on c.name = r.name;
end
$$;
