-- compatible: 2
-- A channel whose last messages are gone (a standby that was behind took over, a backup was restored) goes on under another epoch.

-- Given how far a channel was seen to reach: a new epoch if it is still in that one and reaches less far. Compared under the row's
-- lock, so what was acknowledged meanwhile counts.
create function renew_channel(_name text, _epoch text, _reached bigint, _new text) returns void language plpgsql as $$
begin
    -- Nothing is left of it at all.
    insert into channels (name, namespace, epoch)
    select _name, namespace_of(_name), _new from store s where s.name = 'epoch' and s.value = _epoch and _reached > 0
    on conflict do nothing;
    update channels c set epoch = _new where c.name = _name and c.epoch = _epoch and c.head < _reached;
end
$$;

-- For the operator, after a restore with no silo running, when nobody can tell which channels had reached further: all go on under a
-- new epoch.
create function renew_all_channels(_new text) returns void language sql set search_path from current as $$
    update channels set epoch = _new;
    update store set value = _new where name = 'epoch';
$$;
