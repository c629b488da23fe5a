-- compatible: 2
-- Marks are cleared by a subscription's last activation only: one that it overtook may not know of channels that joined since, and takes
-- the marks of what is to be delivered on them for leftovers.

-- Null: an activation of a higher generation has claimed the subscription, and nothing was cleared.
create function clear_marks(_tenant text, _id text, _generation bigint, _channels text[], _epochs text[], _places bigint[]) returns int[]
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
begin
    -- The channels' rows come first: a claim that was there before what was appended to them last is seen below.
    perform from channels c
    where c.name = any (array(select _tenant || '/' || n.name from unnest(_channels) n(name)))
    order by c.name
    for no key update;
    if exists (select from webhook_progress p where p.tenant = _tenant and p.id = _id and p.generation > _generation) then
        return null;
    end if;

    return clear_marks(_tenant, _id, _channels, _epochs, _places);
end
$$;
