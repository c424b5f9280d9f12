CREATE TABLE public.ds_result (id bigint, amount numeric(10, 2), tax numeric(10, 2));
