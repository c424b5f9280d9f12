CREATE TABLE public.ds_result (id bigint PRIMARY KEY, city text, lat float8, tags jsonb);
