CREATE TABLE public.ds_result (id bigint, amount numeric(12,2), customer text, shard text);
