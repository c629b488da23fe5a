-- compatible: 2
-- Dead letters and truncations are dropped by age, like attempts. Older programs write truncations without their time: the default is it.

-- In the order in which write_webhooks and delete_webhook take the tables; and reads of truncations do not wait for the first index.
create index webhook_dead_letters_old on webhook_dead_letters (at);

alter table webhook_truncations add column at bigint not null default (extract(epoch from clock_timestamp()) * 1000)::bigint;

create index webhook_truncations_old on webhook_truncations (at);
