"""From a record to a sample: templates, the prompt, and the rules of form."""
