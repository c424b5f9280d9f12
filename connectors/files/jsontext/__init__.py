"""JSON text: finds the values of records without parsing them; they are passed on as written."""
