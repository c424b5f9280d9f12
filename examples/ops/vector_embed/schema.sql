CREATE TABLE public.ds_result (id bigint PRIMARY KEY, embedding jsonb,
  dimensions int GENERATED ALWAYS AS (jsonb_array_length(embedding)) STORED);
