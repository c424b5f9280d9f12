CREATE TABLE public.ds_result (id bigint PRIMARY KEY, country text, region text, city text);
