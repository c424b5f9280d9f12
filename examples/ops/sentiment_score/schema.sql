CREATE TABLE public.ds_result (id bigint PRIMARY KEY, score numeric(4, 2));
