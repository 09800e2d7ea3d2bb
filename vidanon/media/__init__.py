"""The only doors to files: probe, reader, writer, pixels, samples, contact sheets. Nothing else touches a codec."""
