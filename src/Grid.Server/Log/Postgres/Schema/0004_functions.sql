-- compatible: 2
-- Cuts are found in few steps; a purge may be repeated; a key that is told as known is as safe as its message; a write can be tried.

-- The first run of a channel, from an offset on, that has at least a time and a total; none if the last run has not. Both only rise
-- along a channel, so it is found by steps that double and then by halves: about as many looks as the number of messages before it has
-- binary digits, twice. A look is a descent in the index of each partition.
create function first_run(_channel bigint, _from bigint, _at bigint, _total bigint)
returns table (o_last bigint, o_count int)
language plpgsql stable
as $$
declare
    _low bigint := _from;       -- no run that ends before it is the one
    _probe bigint := _from;     -- the first run that ends here or later is it, or one after it
    _step bigint := 64;
    _middle bigint;
    _run record;
begin
    select m.last, m.count, m.at, m.total into _run from messages m
    where m.channel = _channel and m.last >= _from order by m.last desc limit 1;
    if _run.last is null or _run.at < _at or _run.total < _total then
        return;
    end if;

    loop
        select m.last, m.count, m.at, m.total into _run from messages m
        where m.channel = _channel and m.last >= _probe order by m.last limit 1;
        exit when _run.last is null or (_run.at >= _at and _run.total >= _total);
        _low := _run.last + 1;
        _probe := _run.last + _step;
        _step := _step * 2;
    end loop;

    o_last := _run.last;
    o_count := _run.count;
    while _low < _probe loop
        _middle := _low + (_probe - _low) / 2;
        select m.last, m.count, m.at, m.total into _run from messages m
        where m.channel = _channel and m.last >= _middle order by m.last limit 1;
        if _run.at < _at or _run.total < _total then
            _low := _run.last + 1;
        else
            _probe := _middle;
            o_last := coalesce(_run.last, o_last);
            o_count := coalesce(_run.count, o_count);
        end if;
    end loop;

    return next;
end
$$;

-- As before, but for how it finds where to cut: mostly little is to go, which a look at the first runs finds; else by first_run.
create or replace function trim_channels(
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
            case when c.oldest_at < _now - p.age then coalesce(
                (select w.last - w.count from (
                    select m.last, m.count, m.at from messages m
                    where m.channel = c.id and m.last >= c.oldest order by m.last limit 64) w
                where w.at >= _now - p.age order by w.last limit 1),
                (select f.o_last - f.o_count from first_run(c.id, c.oldest, _now - p.age, 0) f),
                c.head) end,
            case when c.total - c.total_before > p.bytes then (
                -- The last run stays in any case.
                select case when r.last < c.head then r.last else r.last - r.count end
                from (
                    (select w.last, w.count from (
                        select m.last, m.count, m.total from messages m
                        where m.channel = c.id and m.last >= c.oldest order by m.last limit 64) w
                    where w.total >= c.total - p.bytes order by w.last limit 1)
                    union all
                    select f.o_last, f.o_count from first_run(c.id, c.oldest, 0, c.total - p.bytes) f) r
                limit 1) end) as cut
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

-- Forgets all of a channel, which gets another epoch. Said again with the same epoch, because the answer was lost, it changes nothing.
create or replace function purge_channel(_name text, _epoch text) returns void language plpgsql as $$
declare
    _id bigint;
    _known text;
begin
    insert into channels (name, namespace, epoch) values (_name, namespace_of(_name), _epoch) on conflict do nothing;
    if found then
        return;
    end if;

    select c.id, c.epoch into _id, _known from channels c where c.name = _name for no key update;
    if _known = _epoch then
        return;
    end if;

    insert into purged (channel) values (_id);
    update channels c
    set id = default, epoch = _epoch, head = 0, oldest = 1, swept = 1, total = 0, total_before = 0, oldest_at = 0
    where c.name = _name;
end
$$;

-- Which of some keys are known, and the offsets of their messages. Whoever is told that a key is known takes its message for stored. A
-- commit whose wait for a synchronous standby was cut short can be seen before the standby has it, so such an answer waits as the
-- append should have: the lock makes this transaction one that writes, and its commit comes after that one's.
create or replace function find_keys(_name text, _keys bytea[], _now bigint)
returns table (o_index int, o_message bigint)
language plpgsql volatile
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
    if found then
        perform from channels c where c.name = _name for no key update;
    end if;
end
$$;

-- Writes as an append does, in what can go wrong: new pages on the disk, a commit, the wait for a standby. In a table of its own, which
-- nobody else sees or can have locked (a backup, say) and which is gone with the commit. Unlogged, so that its rows are in no log and
-- reach no subscriber; of a type that is never stored apart, so that it is one table and not two.
create function try_write() returns void language plpgsql as $$
declare
    _table text := 'write_probe_' || pg_backend_pid();
begin
    execute format('create unlogged table %I (filler name)', _table);
    execute format('insert into %I select ''x'' from generate_series(1, 1000)', _table);
    execute format('drop table %I', _table);
end
$$;
