CREATE TABLE public.ds_result (customer text, orders bigint, total numeric(12, 2), last_day date);
