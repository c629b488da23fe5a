-- compatible: 1
-- The message log. Names are unqualified: the connection's search path is Grid's schema.

-- What the store itself is: one row per name.
create table store (
    name text primary key,
    value text not null
);

-- The epoch of channels that were never purged. A database that was replaced has another.
insert into store (name, value) values ('epoch', substr(replace(gen_random_uuid()::text, '-', ''), 1, 16));

create table secrets (
    name text primary key,
    value bytea not null
);

-- One row per channel that was ever written: the fence of every append. It changes with each one, so its pages have room for new
-- versions of their rows, and no index has a column that changes: every update stays within its page (HOT).
create table channels (
    name text collate "C" primary key,          -- tenant/channel
    id bigint generated always as identity,     -- what its messages and keys are stored under; a purge takes a new one
    namespace text collate "C" not null,
    epoch text not null,
    head bigint not null default 0,             -- the last offset
    oldest bigint not null default 1,           -- the oldest offset kept
    swept bigint not null default 1,            -- rows of messages before it were deleted, or go with their partition
    total bigint not null default 0,            -- payload bytes up to and with the head
    total_before bigint not null default 0,     -- payload bytes before the oldest
    oldest_at bigint not null default 0         -- the time of the oldest messages kept, or an earlier one
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);

create unique index channels_id on channels (id);

-- A row holds a run of messages of one append, a few kilobytes of them. The partition is the hour by which all of it is past its
-- age (hours since 1970, 0 for never), so that what is old goes with its partition and costs nothing.
create table messages (
    channel bigint not null,
    last bigint not null,                       -- the offset of the last message
    total bigint not null,                      -- payload bytes of the channel up to and with it
    at bigint not null,                         -- its time, in Unix milliseconds
    count int not null,                         -- how many messages
    bucket int not null,
    body bytea not null                         -- the messages, in the form of MessageRun
) partition by list (bucket);

create index messages_channel on messages (channel, last);

-- Idempotency keys. The partition is the hour by which all of it has expired.
create table keys (
    channel bigint not null,
    message bigint not null,                    -- the offset of the key's message
    expires bigint not null,                    -- in Unix milliseconds
    bucket int not null,
    key bytea not null
) partition by list (bucket);

create index keys_channel on keys (channel, key);

-- Ids of channels that were purged: their messages are deleted bit by bit.
create table purged (
    channel bigint primary key
);

create function namespace_of(_name text) returns text language sql immutable parallel safe as $$
    select coalesce(substring(split_part(_name, '/', 2) from '^([^:]+):'), 'default')
$$;

-- Makes a partition, if it is not there. Attaching an empty table does not keep anybody from reading or writing the others.
create function make_partition(_table text, _bucket int) returns boolean language plpgsql as $$
declare
    _name text := _table || '_' || _bucket;
begin
    perform pg_advisory_xact_lock(hashtext('grid.partitions'), 0);
    if exists (
        select from pg_inherits i where i.inhparent = _table::regclass and i.inhrelid = to_regclass(_name) and not i.inhdetachpending)
    then
        return false;
    end if;

    -- A table of this name that is no partition is one that was on its way out.
    execute format('drop table if exists %I', _name);
    execute format(
        'create table %I (like %I including all) with (toast_tuple_target = 4080, autovacuum_vacuum_scale_factor = 0.05, '
        'autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.5)',
        _name, _table);
    execute format('alter table %I attach partition %I for values in (%s)', _table, _name, _bucket);
    return true;
end
$$;

-- Appends of many channels, each channel once. One transaction: for each append all of its messages and keys, or nothing. Answers
-- with the appends that were refused: with the head where it is elsewhere, or with the offsets whose keys are known and what
-- they belong to.
create function append_messages(
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

    update channels c
    set head = r.head + r.count,
        total = c.total + r.bytes,
        oldest_at = case when c.head < c.oldest then r.at else c.oldest_at end
    from unnest(_heads, _counts, _bytes, _ats) with ordinality r(head, count, bytes, at, i)
    where c.id = _ids[r.i] and _ok[r.i];
end
$$;

-- A page: first a row with the epoch, the oldest offset and the head, then runs that hold the messages after an offset. Being stable
-- it has one snapshot, that of the statement that calls it, so head and messages fit together.
create function read_channel(_name text, _after bigint, _max int, _max_bytes bigint)
returns table (o_epoch text, o_oldest bigint, o_head bigint, o_last bigint, o_count int, o_body bytea)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    _id bigint;
    _first bigint;
    _base bigint;
    _found bigint := 0;
    _run record;
begin
    select c.id, c.epoch, c.oldest, c.head into _id, o_epoch, o_oldest, o_head from channels c where c.name = _name;
    if _id is null then
        select s.value, 1, 0 into o_epoch, o_oldest, o_head from store s where s.name = 'epoch';
    end if;

    return next;
    _first := greatest(_after + 1, o_oldest);
    if _first > o_head then
        return;
    end if;

    o_epoch := null;
    for _run in
        select m.last, m.count, m.total, m.body from messages m
        where m.channel = _id and m.last >= _first
        order by m.last
        limit _max
    loop
        o_last := _run.last;
        o_count := _run.count;
        o_body := _run.body;
        return next;

        -- What the first run holds of the page is not known here; the reader cuts off what is too much.
        _found := _found + least(_run.count, _run.last - _first + 1);
        _base := coalesce(_base, _run.total);
        exit when _found >= _max or _run.total - _base >= _max_bytes;
    end loop;
end
$$;

-- Forgets all of a channel, which gets another epoch.
create function purge_channel(_name text, _epoch text) returns void language plpgsql as $$
declare
    _id bigint;
begin
    insert into channels (name, namespace, epoch) values (_name, namespace_of(_name), _epoch) on conflict do nothing;
    if found then
        return;
    end if;

    select c.id into _id from channels c where c.name = _name for no key update;
    insert into purged (channel) values (_id);
    update channels c
    set id = default, epoch = _epoch, head = 0, oldest = 1, swept = 1, total = 0, total_before = 0, oldest_at = 0
    where c.name = _name;
end
$$;

-- What never expires by age.
select make_partition('messages', 0);

-- How far channels reach; each by its place in what was asked.
create function heads(_names text[])
returns table (o_index int, o_epoch text, o_oldest bigint, o_head bigint)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    select r.i::int, coalesce(c.epoch, (select s.value from store s where s.name = 'epoch')), coalesce(c.oldest, 1), coalesce(c.head, 0)
    from unnest(_names) with ordinality r(name, i)
    left join channels c on c.name = r.name;
end
$$;

-- Which keys of a channel are known, and to what they belong; each by its place in what was asked.
create function find_keys(_name text, _keys bytea[], _now bigint)
returns table (o_index int, o_message bigint)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    select k.i::int, t.message
    from channels c
    cross join unnest(_keys) with ordinality k(key, i)
    join keys t on t.channel = c.id and t.key = k.key and t.expires > _now and t.bucket >= _now / 3600000
    where c.name = _name;
end
$$;

-- Retention, one page of channels by id after another. Limits are given by namespace, null for none; those of the name '' are for
-- namespaces that are not named. Answers with the last id of the page, null after the last page, and with what was trimmed.
--
-- Times and totals only rise, so where to cut is the first run on the right side. The cuts are looked up without a lock; then the
-- channels' rows are locked, in the order in which appends lock them, for no longer than it takes to change them. It is not synced:
-- what a crash undoes is done again.
create function trim_channels(
    _after bigint, _page int, _now bigint, _names text[], _max_ages bigint[], _max_messages bigint[], _max_bytes bigint[])
returns table (o_last bigint, o_channels int, o_messages bigint)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    _ids bigint[];
    _cuts bigint[];
begin
    perform set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '2s', true);
    select max(p.id) into o_last from (select c.id from channels c where c.id > _after order by c.id limit _page) p;
    select array_agg(d.id), array_agg(d.cut), count(*), coalesce(sum(d.cut - d.oldest + 1), 0)
    into _ids, _cuts, o_channels, o_messages
    from (
        select c.id, c.oldest, greatest(
            case when c.head - c.oldest + 1 > p.messages then c.head - p.messages end,
            case when c.oldest_at < _now - p.age then coalesce((
                select m.last - m.count from messages m
                where m.channel = c.id and m.last >= c.oldest and m.at >= _now - p.age
                order by m.last limit 1), c.head) end,
            case when c.total - c.total_before > p.bytes then (
                -- The last run stays in any case.
                select case when m.last < c.head then m.last else m.last - m.count end from messages m
                where m.channel = c.id and m.last >= c.oldest and m.total >= c.total - p.bytes
                order by m.last limit 1) end) as cut
        from channels c
        cross join lateral (
            select r.age, r.messages, r.bytes
            from unnest(_names, _max_ages, _max_messages, _max_bytes) r(name, age, messages, bytes)
            where r.name in (c.namespace, '') order by r.name desc limit 1) p
        where c.id > _after and c.id <= o_last and c.head >= c.oldest and (
            c.head - c.oldest + 1 > p.messages or c.oldest_at < _now - p.age or c.total - c.total_before > p.bytes)) d
    where d.cut >= d.oldest;
    if o_channels > 0 then
        perform cut_channels(_ids, _cuts);
    end if;

    return next;
end
$$;

-- Forgets messages up to and with a cut, of channels by id.
create function cut_channels(_ids bigint[], _cuts bigint[]) returns void
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    _ats bigint[];
    _totals bigint[];
begin
    select array_agg(s.at order by s.i), array_agg(s.total order by s.i) into _ats, _totals
    from (
        select r.i,
            (select m.at from messages m where m.channel = r.id and m.last > r.cut order by m.last limit 1) as at,
            (select m.total from messages m where m.channel = r.id and m.last <= r.cut order by m.last desc limit 1) as total
        from unnest(_ids, _cuts) with ordinality r(id, cut, i)) s;
    perform from channels c where c.id = any (_ids) order by c.name for no key update;
    update channels c
    set oldest = least(r.cut, c.head) + 1,
        oldest_at = coalesce(_ats[r.i], c.oldest_at),
        total_before = case when r.cut >= c.head then c.total else greatest(c.total_before, coalesce(_totals[r.i], 0)) end
    from unnest(_ids, _cuts) with ordinality r(id, cut, i)
    where c.id = r.id and c.oldest <= least(r.cut, c.head);
end
$$;

-- The same of one channel, by its name.
create function trim_channel(_name text, _up_to bigint) returns void language sql as $$
    select cut_channels(array[c.id], array[_up_to]) from channels c where c.name = _name
$$;

-- Deletes rows that were trimmed, of the channels of a page, but not those whose partition goes soon: by the bucket given for each
-- namespace. Stops after about so many rows; what is left is for the next sweep. Answers with the rows deleted.
create function delete_trimmed(_after bigint, _last bigint, _names text[], _buckets int[], _rows int) returns bigint
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    _channel record;
    _deleted bigint := 0;
    _found bigint;
    _bound bigint;
    _ids bigint[] := '{}';
    _swept bigint[] := '{}';
begin
    perform set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '2s', true);
    for _channel in
        select c.id, c.oldest, c.swept, (
            select r.bucket from unnest(_names, _buckets) r(name, bucket)
            where r.name in (c.namespace, '') order by r.name desc limit 1) as bucket
        from channels c
        where c.id > _after and c.id <= _last and c.swept < c.oldest
        order by c.id
    loop
        select m.last into _bound from messages m
        where m.channel = _channel.id and m.last >= _channel.swept and m.last < _channel.oldest
            and (m.bucket = 0 or m.bucket > _channel.bucket)
        order by m.last offset _rows limit 1;
        _bound := coalesce(_bound, _channel.oldest);
        delete from messages m
        where m.channel = _channel.id and m.last >= _channel.swept and m.last < _bound and (m.bucket = 0 or m.bucket > _channel.bucket);
        get diagnostics _found = row_count;
        _deleted := _deleted + _found;
        _ids := _ids || _channel.id;
        _swept := _swept || _bound;
        exit when _deleted >= _rows;
    end loop;

    if cardinality(_ids) > 0 then
        perform from channels c where c.id = any (_ids) order by c.name for no key update;
        update channels c set swept = greatest(c.swept, r.swept) from unnest(_ids, _swept) r(id, swept) where c.id = r.id;
    end if;

    return _deleted;
end
$$;

-- Deletes about so many rows of purged channels; answers with how many it were.
create function delete_purged(_rows int) returns bigint
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
declare
    _id bigint;
    _deleted bigint := 0;
    _found bigint;
    _keys bigint;
begin
    perform set_config('synchronous_commit', 'off', true);
    for _id in select p.channel from purged p order by p.channel limit 1000 loop
        delete from messages m
        where m.channel = _id and m.last <= coalesce(
            (select n.last from messages n where n.channel = _id order by n.last offset _rows limit 1), 9223372036854775807);
        get diagnostics _found = row_count;
        delete from keys k
        where k.channel = _id and k.key <= coalesce(
            (select n.key from keys n where n.channel = _id order by n.key offset _rows limit 1),
            (select n.key from keys n where n.channel = _id order by n.key desc limit 1));
        get diagnostics _keys = row_count;
        _deleted := _deleted + _found + _keys;
        if _found < _rows and _keys < _rows then
            delete from purged p where p.channel = _id;
        end if;

        exit when _deleted >= _rows;
    end loop;

    return _deleted;
end
$$;

-- Before a partition of messages is dropped: what anybody could still see in it is forgotten, so that readers meet a gap and not a
-- hole. Usually there is nothing, since what is past its age was trimmed; but the settings may have changed. Looks at channels by id
-- after one; answers with the last one looked at, null when there are no more.
create function release_partition(_table text, _after bigint, _page int) returns bigint
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
declare
    _ids bigint[];
    _cuts bigint[];
    _last bigint;
begin
    perform set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '2s', true);
    execute format($q$
        with recursive found(id, n) as (
            select (select m.channel from %1$I m where m.channel > $1 order by m.channel limit 1), 1
            union all
            select (select m.channel from %1$I m where m.channel > f.id order by m.channel limit 1), f.n + 1
            from found f where f.id is not null and f.n < $2),
        lasts as (
            select f.id, (select m.last from %1$I m where m.channel = f.id order by m.last desc limit 1) as last
            from found f where f.id is not null)
        select max(l.id), array_agg(c.id) filter (where c.oldest <= l.last), array_agg(l.last) filter (where c.oldest <= l.last)
        from lasts l left join channels c on c.id = l.id $q$, _table)
    into _last, _ids, _cuts using _after, _page;
    if cardinality(_ids) > 0 then
        perform cut_channels(_ids, _cuts);
    end if;

    return _last;
end
$$;
