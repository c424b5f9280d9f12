CREATE TABLE public.ds_result (id bigint PRIMARY KEY, name text, changed_at_offset bigint);
