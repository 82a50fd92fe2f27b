"""How hypothesis runs here: no verdict depends on how busy the machine is."""

from hypothesis import HealthCheck, settings

if settings.get_current_profile_name() == "default":  # else somebody chose one
    quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("core", quiet)
    settings.load_profile("core")
