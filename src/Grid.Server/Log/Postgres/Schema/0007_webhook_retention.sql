-- compatible: 2
-- Dead letters and truncations are dropped by age, like attempts. Older programs write truncations without their time: the default is it.

alter table webhook_truncations add column at bigint not null default (extract(epoch from clock_timestamp()) * 1000)::bigint;

create index webhook_truncations_old on webhook_truncations (at);
create index webhook_dead_letters_old on webhook_dead_letters (at);
