"""An optional last step of retrieval: the best passages are read together with the question."""
