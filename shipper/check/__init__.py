"""`shipper check`: would this configuration work?"""
