CREATE TABLE public.ds_result (customer text, "2024-01-01" numeric(12, 2), third numeric(12, 2));
