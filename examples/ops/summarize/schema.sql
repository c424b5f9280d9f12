CREATE TABLE public.ds_result (field text, count bigint, nulls bigint, "distinct" bigint, mean double precision);
