CREATE TABLE public.ds_result (id bigint, total numeric(12, 2), delivery text, headers jsonb);
