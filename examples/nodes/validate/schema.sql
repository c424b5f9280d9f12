CREATE TABLE public.ds_result (id bigint, email text, amount numeric(10, 2));
