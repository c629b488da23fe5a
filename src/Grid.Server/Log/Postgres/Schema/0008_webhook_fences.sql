-- compatible: 2
-- A subscription's marks are cleared, and its definition is changed, by its last activation only: of two that exist beside each other one
-- may not know of channels that joined by the other, and would take the marks of what is to be delivered on them for leftovers. Older
-- programs call the functions of the same names without a generation.

-- As the one before. Null: an activation of a higher generation has claimed the subscription, and nothing was cleared.
create function clear_marks(_tenant text, _id text, _generation bigint, _channels text[], _epochs text[], _places bigint[]) returns int[]
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
declare
    _ids bigint[];
    _known int[];
    _kept int[];
begin
    perform set_config('synchronous_commit', 'off', true);
    with locked as materialized (
        select r.i::int as i, c.id, c.epoch = r.epoch and c.head = r.place as settled
        from unnest(_channels, _epochs, _places) with ordinality r(channel, epoch, place, i)
        join channels c on c.name = _tenant || '/' || r.channel
        order by c.name
        for no key update of c)
    select array_agg(l.id) filter (where l.settled), array_agg(l.i), array_agg(l.i) filter (where not l.settled)
    into _ids, _known, _kept
    from locked l;

    -- After the locks, so that a claim which was there before the last append to any of these channels is seen.
    if exists (select from webhook_progress p where p.tenant = _tenant and p.id = _id and p.generation > _generation) then
        return null;
    end if;

    -- Channels never written to stand at the beginning of the store's epoch.
    if cardinality(_known) is distinct from cardinality(_channels) then
        select _kept || array_agg(r.i::int) into _kept
        from unnest(_epochs, _places) with ordinality r(epoch, place, i)
        where not r.i = any (coalesce(_known, '{}'))
            and not (r.place = 0 and r.epoch = (select s.value from store s where s.name = 'epoch'));
    end if;

    delete from webhook_marks m
    where m.tenant = _tenant and m.id = _id and m.channel = any (_channels)
        and not m.channel = any (array(select _channels[k] from unnest(_kept) k));
    if found then
        update channels c set marked = null where c.id = any (_ids) and c.marked is not null;
    end if;

    return coalesce(_kept, '{}');
end
$$;

-- As the one before. False: there is none, its version is another one, or an activation of a higher generation has claimed it.
create function update_webhook(
    _tenant text, _id text, _generation bigint, _version bigint, _channels text[], _definition bytea, _secrets bytea)
returns boolean language plpgsql as $$
declare
    _last bigint;
begin
    if not exists (select from webhooks w where w.tenant = _tenant and w.id = _id) then
        return false;
    end if;

    perform lock_webhook_tenant(_tenant);

    -- Who claims it waits for this row, and reads after it what is stored here.
    select p.generation into _last from webhook_progress p where p.tenant = _tenant and p.id = _id for no key update;
    if not found then
        perform renew_webhook_tenant(_tenant);
        return false;
    end if;

    if _last > _generation then
        return false;
    end if;

    return update_webhook(_tenant, _id, _version, _channels, _definition, _secrets) is not null;
end
$$;
