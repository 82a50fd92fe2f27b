"""The places in a node at which an error that nobody expects is raised: a name, and what it is."""

PLACES = {
    "source": "streamcrop.sources.live:LiveSource._connection",
    "reading": "streamcrop.sources.threads:Threaded.frames",
    "receiving": "streamcrop.stream.outcomes:Outcomes.received",
    "history": "streamcrop.stream.history:History.note",
    "choosing for the tap": "streamcrop.stream.tap:Tap.is_due",
    "showing": "streamcrop.stream.tap:Tap.render",
    "a message": "streamcrop.stream.pairing:Pairing.arrive",
    "pairing a frame": "streamcrop.core.pairing:Pairer.add_frame",
    "pairing a message": "streamcrop.core.pairing:Pairer.add_detections",
    "expiry": "streamcrop.core.pairing:Pairer.expire",
    "rendering": "streamcrop.stream.rendering:Rendering._begin",
    "encoding": "streamcrop.stream.render:encode",
    "counting a pair": "streamcrop.stream.outcomes:Outcomes.paired",
    "the window": "streamcrop.sinks.mqtt:MqttSink.put",
    "sending": "streamcrop.mqtt.client:Client.send",
    "a delivery": "streamcrop.mqtt.subscriptions:Subscriptions.hand_on",
    "the status": "streamcrop.status:Status.message",
    "a report": "streamcrop.stream.ledger:LossReport.say",
}
