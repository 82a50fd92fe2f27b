"""MQTT: one connection, its topics both ways; all that knows aiomqtt and paho."""
