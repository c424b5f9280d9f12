CREATE TABLE public.ds_result (sensor text PRIMARY KEY, celsius numeric(6, 2), received timestamptz);
