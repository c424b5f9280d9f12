CREATE TABLE public.ds_result (id bigint PRIMARY KEY, amount numeric(12, 2));
