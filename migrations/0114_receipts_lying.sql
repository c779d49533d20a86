-- What lies in Receive, which a quota counts at each upload: however much a connector has received in all.
CREATE INDEX receipts_lying ON receipts (connector_key, size_bytes, status) WHERE status IN ('in_receive', 'waiting');
