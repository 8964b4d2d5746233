"""The real-time engine: what makes encoding, decoding and editing fast."""
