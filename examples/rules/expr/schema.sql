CREATE TABLE public.ds_result (id bigint PRIMARY KEY, departure timestamp, arrival timestamp);
