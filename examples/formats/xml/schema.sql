CREATE TABLE public.ds_result ("@id" bigint, city text, amount numeric(30, 12), day date, line jsonb);
