"""The programs of the stack, each as processes on this machine: Postgres, the S3 stand-in, Airflow, the API."""
