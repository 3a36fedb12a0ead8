"""Tests of taking Filebeat's registry over: read, judged, planned, done."""
