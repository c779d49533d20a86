-- Nothing looks for deliveries by their event: the index cost every received file a page.
DROP INDEX deliveries_of_event;
