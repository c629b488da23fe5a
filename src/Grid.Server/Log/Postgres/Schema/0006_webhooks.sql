-- compatible: 2
-- Webhook subscriptions, and the marks that appends leave for them. Appends of older programs leave them too.

-- Keys that encrypt what is stored, shared by all silos.
create table data_keys (
    name text primary key,
    value text not null
);

-- Versions of tenants' patterns: each is used once, so that a channel's never fits another tenant's or an earlier one.
create sequence webhook_versions;

-- Tenants that have subscriptions.
create table webhook_tenants (
    tenant text collate "C" primary key,
    version bigint not null,                    -- another one after every change of patterns
    lengths int[] not null                      -- the lengths of all patterns that are prefixes, with their asterisk
) with (fillfactor = 50);

create table webhooks (
    tenant text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    channels text[] not null,
    definition bytea not null,
    secrets bytea not null,
    primary key (tenant, id)
);

create table webhook_patterns (
    tenant text collate "C" not null,
    pattern text collate "C" not null,          -- a channel's name, or a prefix and an asterisk, which no name has
    id text collate "C" not null,
    primary key (tenant, pattern, id)
);

-- Null: subscriptions have to be looked up. Else all that match by this version of the tenant's patterns have a mark on the channel.
alter table channels add column marked bigint;

-- Which subscriptions have work on which channels, and the place before it.
create table webhook_marks (
    tenant text collate "C" not null,
    id text collate "C" not null,
    channel text collate "C" not null,
    epoch text not null,
    place bigint not null,
    primary key (tenant, id, channel)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);

-- Progress: the header. It is written several times a second by a busy subscription, so no index has a column that changes.
create table webhook_progress (
    tenant text collate "C" not null,
    id text collate "C" not null,
    shard int not null,
    generation bigint not null default 0,
    not_before bigint not null default 0,       -- before when nobody wakes it, in Unix milliseconds
    wake bigint,                                -- when it has something to do though nothing happens
    header bytea,
    primary key (tenant, id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

create table webhook_channels (
    tenant text collate "C" not null,
    id text collate "C" not null,
    channel text collate "C" not null,
    record bytea not null,
    primary key (tenant, id, channel)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

create table webhook_parked (
    tenant text collate "C" not null,
    id text collate "C" not null,
    message text collate "C" not null,
    due bigint not null,
    record bytea not null,
    primary key (tenant, id, message)
);

create index webhook_parked_due on webhook_parked (tenant, id, due, message);

create table webhook_dead_letters (
    tenant text collate "C" not null,
    id text collate "C" not null,
    message text collate "C" not null,
    at bigint not null,
    record bytea not null,
    primary key (tenant, id, message)
);

create index webhook_dead_letters_at on webhook_dead_letters (tenant, id, at, message);

create table webhook_truncations (
    tenant text collate "C" not null,
    id text collate "C" not null,
    channel text collate "C" not null,
    epoch text collate "C" not null,
    first bigint not null,
    last bigint not null,
    number bigint generated always as identity,
    record bytea not null,
    primary key (tenant, id, channel, epoch, first)
);

create index webhook_truncations_number on webhook_truncations (tenant, id, number);

-- The partition is the day (days since 1970), and goes whole.
create table webhook_attempts (
    tenant text collate "C" not null,
    id text collate "C" not null,
    at bigint not null,
    name text collate "C" not null,
    bucket int not null,
    message text collate "C" not null,
    failed boolean not null,
    record bytea not null
) partition by list (bucket);

create unique index webhook_attempts_at on webhook_attempts (tenant, id, at, name, bucket);
create index webhook_attempts_message on webhook_attempts (tenant, id, message, at, name);
create index webhook_attempts_failed on webhook_attempts (tenant, id, at, name) where failed;

-- As append_messages before; and answers with the subscriptions that an append marked, too.
create function append_and_mark(
    _names text[], _epochs text[], _heads bigint[], _counts int[], _bytes bigint[], _ats bigint[], _buckets int[], _fresh boolean,
    _run_append int[], _run_last bigint[], _run_count int[], _run_total bigint[], _run_at bigint[], _run_body bytea[],
    _key_append int[], _key_offset bigint[], _key bytea[], _key_buckets int[], _key_expires bigint[],
    _now bigint)
returns table (o_append int, o_epoch text, o_head bigint, o_offsets bigint[], o_seen bigint[], o_woken text[])
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
    -- 0. Who changes patterns waits for the appends that may not have seen that (wait_for_appends). Nobody ever takes it exclusively.
    perform pg_advisory_xact_lock_shared(1735550311, 0);

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
        select n.i, coalesce(c.epoch, (select s.value from store s where s.name = 'epoch')), coalesce(c.head, 0),
            null::bigint[], null::bigint[], null::text[]
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

    -- 5. The marks.
    if exists (select from webhook_tenants) then
        return query
        select m.o_append, null::text, null::bigint, null::bigint[], null::bigint[], m.o_woken
        from mark_appends(_names, _epochs, _heads, _ids, _ok) m;
    end if;
end
$$;

-- Marks the channels of appends, whose rows are locked, where subscriptions may not have their marks. Answers with those that had none.
create function mark_appends(_names text[], _epochs text[], _heads bigint[], _ids bigint[], _ok boolean[])
returns table (o_append int, o_woken text[])
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    with stale as materialized (
        select r.i::int as i, c.id as channel_id, t.tenant, t.version, t.lengths, r.epoch, r.head,
            substr(r.name, length(t.tenant) + 2) collate "C" as channel
        from unnest(_names, _epochs, _heads) with ordinality r(name, epoch, head, i)
        join webhook_tenants t on t.tenant = split_part(r.name, '/', 1)
        join channels c on c.id = _ids[r.i]
        where _ok[r.i] and c.marked is distinct from t.version),
    missing as materialized (
        select distinct s.i, s.tenant, s.channel, p.id, s.epoch, s.head
        from stale s
        join webhook_patterns p on p.tenant = s.tenant and p.pattern = any (
            array(select left(s.channel, n - 1) || '*' from unnest(s.lengths) n
                where n <= length(s.channel) + 1 and (n > 5 or left(s.channel, 5) <> 'grid:')) || s.channel)
        where not exists (select from webhook_marks k where k.tenant = s.tenant and k.id = p.id and k.channel = s.channel)),
    made as (
        insert into webhook_marks (tenant, id, channel, epoch, place)
        select m.tenant, m.id, m.channel, m.epoch, m.head from missing m order by m.tenant, m.channel, m.id
        on conflict do nothing),
    noted as (
        update channels c set marked = s.version from stale s where c.id = s.channel_id)
    select m.i, array_agg(m.id) from missing m group by m.i;
end
$$;

-- For silos that still run an older program: they hear of no marks, which the sweep finds.
create or replace function append_messages(
    _names text[], _epochs text[], _heads bigint[], _counts int[], _bytes bigint[], _ats bigint[], _buckets int[], _fresh boolean,
    _run_append int[], _run_last bigint[], _run_count int[], _run_total bigint[], _run_at bigint[], _run_body bytea[],
    _key_append int[], _key_offset bigint[], _key bytea[], _key_buckets int[], _key_expires bigint[],
    _now bigint)
returns table (o_append int, o_epoch text, o_head bigint, o_offsets bigint[], o_seen bigint[])
language plpgsql
as $$
begin
    return query
    select a.o_append, a.o_epoch, a.o_head, a.o_offsets, a.o_seen
    from append_and_mark(
        _names, _epochs, _heads, _counts, _bytes, _ats, _buckets, _fresh, _run_append, _run_last, _run_count, _run_total, _run_at, _run_body,
        _key_append, _key_offset, _key, _key_buckets, _key_expires, _now) a
    where a.o_woken is null;
end
$$;

-- Waits for the appends that are under way. One that begins later sees what was committed before this was called. The view of locks
-- shows the present, whatever the statement's snapshot is.
create function wait_for_appends() returns void language plpgsql as $$
declare
    _running text[];
begin
    select array_agg(l.virtualtransaction) into _running
    from pg_locks l
    where l.locktype = 'advisory' and l.classid = 1735550311 and l.objid = 0 and l.objsubid = 2
        and l.database = (select d.oid from pg_database d where d.datname = current_database());
    while _running is not null loop
        perform pg_sleep(0.002);
        select array_agg(l.virtualtransaction) into _running
        from pg_locks l
        where l.locktype = 'advisory' and l.classid = 1735550311 and l.objid = 0 and l.objsubid = 2
            and l.database = (select d.oid from pg_database d where d.datname = current_database())
            and l.virtualtransaction = any (_running);
    end loop;
end
$$;

-- After a change of a tenant's patterns: the next append to any of its channels looks them up anew.
create function renew_webhook_tenant(_tenant text) returns void language plpgsql as $$
declare
    _lengths int[];
begin
    select coalesce(array_agg(distinct length(p.pattern)), '{}') into _lengths
    from webhook_patterns p where p.tenant = _tenant and right(p.pattern, 1) = '*';
    if exists (select from webhooks w where w.tenant = _tenant) then
        update webhook_tenants set version = nextval('webhook_versions'), lengths = _lengths where tenant = _tenant;
    else
        delete from webhook_tenants where tenant = _tenant;
    end if;
end
$$;

-- Holds the changes of a tenant's subscriptions apart.
create function lock_webhook_tenant(_tenant text) returns void language plpgsql as $$
begin
    loop
        insert into webhook_tenants (tenant, version, lengths) values (_tenant, nextval('webhook_versions'), '{}') on conflict do nothing;
        perform from webhook_tenants t where t.tenant = _tenant for update;
        exit when found;
    end loop;
end
$$;

-- Answers with the moment that it saw, for mark_moved; null: the tenant has too many, or another one of that name.
create function create_webhook(
    _tenant text, _id text, _shard int, _version bigint, _channels text[], _definition bytea, _secrets bytea, _most int)
returns text language plpgsql as $$
declare
    _seen text := pg_current_snapshot()::text;
begin
    perform lock_webhook_tenant(_tenant);
    if exists (select from webhooks w where w.tenant = _tenant and w.id = _id) then
        -- The same call made again, since its outcome was unknown.
        return (
            select _seen from webhooks w
            where w.tenant = _tenant and w.id = _id
                and (w.version, w.channels, w.definition, w.secrets) = (_version, _channels, _definition, _secrets));
    end if;

    if (select count(*) from webhooks w where w.tenant = _tenant) >= _most then
        perform renew_webhook_tenant(_tenant);
        return null;
    end if;

    insert into webhooks (tenant, id, version, channels, definition, secrets)
    values (_tenant, _id, _version, _channels, _definition, _secrets);
    insert into webhook_progress (tenant, id, shard) values (_tenant, _id, _shard);
    insert into webhook_patterns (tenant, pattern, id) select distinct _tenant, p.pattern, _id from unnest(_channels) p(pattern);
    perform renew_webhook_tenant(_tenant);
    return _seen;
end
$$;

-- As above; empty: the patterns stay, so that there is nothing to mark; null: there is none, or its version is another one.
create function update_webhook(_tenant text, _id text, _version bigint, _channels text[], _definition bytea, _secrets bytea)
returns text language plpgsql as $$
declare
    _seen text := pg_current_snapshot()::text;
    _known webhooks;
begin
    if not exists (select from webhooks w where w.tenant = _tenant and w.id = _id) then
        return null;
    end if;

    perform lock_webhook_tenant(_tenant);
    select * into _known from webhooks w where w.tenant = _tenant and w.id = _id;
    if _known.id is null then
        perform renew_webhook_tenant(_tenant);
        return null;
    end if;

    if (_known.version, _known.channels, _known.definition, _known.secrets) = (_version, _channels, _definition, _secrets) then
        return _seen;
    end if;

    if _known.version <> _version - 1 then
        return null;
    end if;

    update webhooks w set version = _version, channels = _channels, definition = _definition, secrets = _secrets
    where w.tenant = _tenant and w.id = _id;
    if _known.channels = _channels then
        return '';
    end if;

    delete from webhook_patterns p where p.tenant = _tenant and p.id = _id;
    insert into webhook_patterns (tenant, pattern, id) select distinct _tenant, p.pattern, _id from unnest(_channels) p(pattern);
    perform renew_webhook_tenant(_tenant);
    return _seen;
end
$$;

create function delete_webhook(_tenant text, _id text) returns boolean language plpgsql as $$
declare
    _found boolean;
begin
    if not exists (select from webhooks w where w.tenant = _tenant and w.id = _id) then
        return false;
    end if;

    perform lock_webhook_tenant(_tenant);
    delete from webhooks w where w.tenant = _tenant and w.id = _id;
    _found := found;
    delete from webhook_patterns p where p.tenant = _tenant and p.id = _id;
    perform renew_webhook_tenant(_tenant);

    -- Before what hangs on it: a write of progress holds this row while it adds to the rest.
    delete from webhook_progress p where p.tenant = _tenant and p.id = _id;
    delete from webhook_channels c where c.tenant = _tenant and c.id = _id;
    delete from webhook_parked p where p.tenant = _tenant and p.id = _id;
    delete from webhook_dead_letters d where d.tenant = _tenant and d.id = _id;
    delete from webhook_truncations t where t.tenant = _tenant and t.id = _id;
    perform delete_marks(_tenant, _id);
    return _found;
end
$$;

create function delete_marks(_tenant text, _id text) returns void language sql as $$
    delete from webhook_marks m where m.tenant = _tenant and m.id = _id
$$;

-- Whether a transaction was over in a snapshot, given the short form of its number that rows have.
create function was_seen(_transaction xid, _snapshot pg_snapshot) returns boolean language sql stable as $$
    select case
        when f.id < 3 then true
        when f.id > f.next then pg_visible_in_snapshot((f.id - 4294967296)::text::xid8, _snapshot)
        else pg_visible_in_snapshot(f.id::text::xid8, _snapshot)
    end
    from (
        select n.next, (n.next / 4294967296) * 4294967296 + _transaction::text::bigint as id
        from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) n) f
$$;

-- Marks channels of a page for a subscription where something was appended since a moment, at the place before that: those appends
-- may not have known of it. Names are from one to before another. Answers with the last name looked at; null: there were no more.
create function mark_moved(_tenant text, _id text, _since text, _from text, _to text, _page int) returns text
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
declare
    _snapshot pg_snapshot := _since::pg_snapshot;
    _last text;
begin
    with page as materialized (
        select c.name, c.id, c.epoch, c.head, c.oldest, c.xmin as changed
        from channels c where c.name >= _from and c.name < _to order by c.name limit _page),
    moved as materialized (
        select p.name, p.epoch, p.head, p.oldest, coalesce(
            (select m.last from messages m where m.channel = p.id and was_seen(m.xmin, _snapshot) order by m.last desc limit 1),
            0) as place
        from page p where p.head >= p.oldest and not was_seen(p.changed, _snapshot)),
    made as (
        insert into webhook_marks as k (tenant, id, channel, epoch, place)
        select _tenant, _id, substr(m.name, length(_tenant) + 2), m.epoch, greatest(m.place, m.oldest - 1)
        from moved m where m.place < m.head
        order by m.name
        on conflict (tenant, id, channel) do update set place = least(k.place, excluded.place) where k.epoch = excluded.epoch)
    select max(p.name) into _last from page p;
    return _last;
end
$$;

-- Marks channels of a page for a subscription from the oldest message that they keep; else the same.
create function mark_all(_tenant text, _id text, _from text, _to text, _page int) returns text
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    _last text;
begin
    with page as materialized (
        select c.name, c.epoch, c.head, c.oldest from channels c where c.name >= _from and c.name < _to order by c.name limit _page),
    made as (
        insert into webhook_marks as k (tenant, id, channel, epoch, place)
        select _tenant, _id, substr(p.name, length(_tenant) + 2), p.epoch, p.oldest - 1
        from page p where p.head >= p.oldest
        order by p.name
        on conflict (tenant, id, channel) do update set epoch = excluded.epoch, place = excluded.place)
    select max(p.name) into _last from page p;
    return _last;
end
$$;

-- Removes marks of channels that are settled up to their head, compared under the lock that appends take, in their order. Answers with
-- the places in what was given that are not. Not synced: a mark that a crash brings back is removed again by who looks at its channel.
create function clear_marks(_tenant text, _id text, _channels text[], _epochs text[], _places bigint[]) returns int[]
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
declare
    _names text[];
    _ids bigint[];
    _kept int[];
begin
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(_tenant || '/' || c.name) into _names from unnest(_channels) c(name);
    with locked as materialized (
        select c.id, c.name, c.epoch, c.head from channels c where c.name = any (_names) order by c.name for no key update)
    select array_agg(l.id) filter (where s.settled), array_agg(s.i) filter (where not s.settled)
    into _ids, _kept
    from unnest(_names, _epochs, _places) with ordinality r(name, epoch, place, i)
    left join locked l on l.name = r.name
    cross join lateral (
        select r.i::int as i, r.epoch = coalesce(l.epoch, (select s.value from store s where s.name = 'epoch'))
            and r.place = coalesce(l.head, 0) as settled) s;
    delete from webhook_marks m
    where m.tenant = _tenant and m.id = _id and m.channel = any (_channels)
        and not m.channel = any (array(select _channels[k] from unnest(_kept) k));
    if found then
        update channels c set marked = null where c.id = any (_ids) and c.marked is not null;
    end if;

    return coalesce(_kept, '{}');
end
$$;

-- Stores the progress of many subscriptions, each once; see the classes that fill the arrays. Answers with the places of those that
-- were refused: there is none, or a higher generation has written. The rows of subscriptions are locked in one order.
create function write_webhooks(
    _tenants text[], _ids text[], _generations bigint[], _not_befores bigint[], _wakes bigint[], _headers bytea[],
    _c_item int[], _c_channel text[], _c_record bytea[],
    _p_item int[], _p_message text[], _p_if_due bigint[], _p_due bigint[], _p_record bytea[],
    _d_item int[], _d_message text[], _d_at bigint[], _d_record bytea[],
    _t_item int[], _t_channel text[], _t_epoch text[], _t_first bigint[], _t_last bigint[], _t_record bytea[],
    _f_item int[], _f_channel text[])
returns int[]
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    _ok boolean[];
begin
    with locked as materialized (
        select r.i, p.generation <= r.generation as ok
        from unnest(_tenants, _ids, _generations) with ordinality r(tenant, id, generation, i)
        join webhook_progress p on p.tenant = r.tenant and p.id = r.id
        order by p.tenant, p.id
        for no key update of p)
    select array_agg(coalesce(l.ok, false) order by n.i) into _ok
    from generate_subscripts(_tenants, 1) n(i)
    left join locked l on l.i = n.i;

    if cardinality(_d_item) > 0 then
        insert into webhook_dead_letters as d (tenant, id, message, at, record)
        select _tenants[r.item], _ids[r.item], r.message, r.at, r.record
        from unnest(_d_item, _d_message, _d_at, _d_record) r(item, message, at, record)
        where _ok[r.item]
        on conflict (tenant, id, message) do update set at = excluded.at, record = excluded.record;
    end if;

    if cardinality(_p_item) > 0 then
        delete from webhook_parked p
        using unnest(_p_item, _p_message, _p_if_due, _p_due) r(item, message, if_due, due)
        where _ok[r.item] and r.due is null and p.tenant = _tenants[r.item] and p.id = _ids[r.item] and p.message = r.message
            and r.if_due in (0, p.due);
        insert into webhook_parked as p (tenant, id, message, due, record)
        select _tenants[r.item], _ids[r.item], r.message, r.due, r.record
        from unnest(_p_item, _p_message, _p_due, _p_record) r(item, message, due, record)
        where _ok[r.item] and r.due is not null
        on conflict (tenant, id, message) do update set due = excluded.due, record = excluded.record;
    end if;

    if cardinality(_t_item) > 0 then
        insert into webhook_truncations as t (tenant, id, channel, epoch, first, last, record)
        select _tenants[r.item], _ids[r.item], r.channel, r.epoch, r.first, r.last, r.record
        from unnest(_t_item, _t_channel, _t_epoch, _t_first, _t_last, _t_record) r(item, channel, epoch, first, last, record)
        where _ok[r.item]
        on conflict (tenant, id, channel, epoch, first) do update set last = excluded.last, record = excluded.record
        where t.last <= excluded.last;
    end if;

    if cardinality(_f_item) > 0 then
        delete from webhook_channels c
        using unnest(_f_item, _f_channel) r(item, channel)
        where _ok[r.item] and c.tenant = _tenants[r.item] and c.id = _ids[r.item] and c.channel = r.channel;
    end if;

    insert into webhook_channels as c (tenant, id, channel, record)
    select _tenants[r.item], _ids[r.item], r.channel, r.record
    from unnest(_c_item, _c_channel, _c_record) r(item, channel, record)
    where _ok[r.item]
    on conflict (tenant, id, channel) do update set record = excluded.record;

    update webhook_progress p
    set generation = r.generation, not_before = r.not_before, wake = r.wake, header = r.header
    from unnest(_tenants, _ids, _generations, _not_befores, _wakes, _headers) with ordinality r(tenant, id, generation, not_before, wake, header, i)
    where p.tenant = r.tenant and p.id = r.id and _ok[r.i];

    return array(select i from generate_subscripts(_ok, 1) i where not _ok[i]);
end
$$;

-- Parks messages of a subscription on request, takes them out of the dead letters, and lets it be woken for them: the header that is
-- given, if its generation is still the one that it was made from. False: it is not.
create function park_messages(
    _tenant text, _id text, _generation bigint, _before bytea, _header bytea, _first bigint, _messages text[], _dues bigint[], _records bytea[])
returns boolean language plpgsql as $$
begin
    perform from webhook_progress p where p.tenant = _tenant and p.id = _id for no key update;
    update webhook_progress p set header = _header, wake = least(p.wake, _first)
    where p.tenant = _tenant and p.id = _id and p.generation = _generation and p.header is not distinct from _before;
    if not found then
        return false;
    end if;

    insert into webhook_parked as p (tenant, id, message, due, record)
    select _tenant, _id, r.message, r.due, r.record from unnest(_messages, _dues, _records) r(message, due, record)
    on conflict (tenant, id, message) do update set due = excluded.due, record = excluded.record;
    delete from webhook_dead_letters d where d.tenant = _tenant and d.id = _id and d.message = any (_messages);
    return true;
end
$$;

-- Stores attempts. Not synced: what is committed later is stored after them.
create function add_attempts(
    _tenants text[], _ids text[], _ats bigint[], _names text[], _messages text[], _failed boolean[], _records bytea[])
returns void language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into webhook_attempts (tenant, id, at, name, bucket, message, failed, record)
    select r.tenant, r.id, r.at, r.name, r.at / 86400000, r.message, r.failed, r.record
    from unnest(_tenants, _ids, _ats, _names, _messages, _failed, _records) r(tenant, id, at, name, message, failed, record)
    on conflict do nothing;
end
$$;
