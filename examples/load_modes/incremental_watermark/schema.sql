CREATE TABLE public.ds_result (id bigint, changed timestamp);
