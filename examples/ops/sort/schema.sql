CREATE TABLE public.ds_result (place bigint GENERATED ALWAYS AS IDENTITY, id bigint);
