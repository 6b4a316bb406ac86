"""Sessions, messages and streams that are remembered, behind the port `History` of the heart."""
