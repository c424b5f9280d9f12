CREATE TABLE public.ds_result (id bigint PRIMARY KEY, name text, updated_at timestamp);
