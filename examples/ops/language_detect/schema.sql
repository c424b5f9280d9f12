CREATE TABLE public.ds_result (id bigint PRIMARY KEY, language text);
