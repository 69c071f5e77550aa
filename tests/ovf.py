"""What a hypervisor hands over of the form of an OVF package, and a form that is filled in."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

# As VMware writes it, apart from what a management agent may have beside ours.
ENVIRONMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"
    xmlns:ve="http://www.vmware.com/schema/ovfenv" oe:id="" ve:vCenterId="vm-42">
   <PlatformSection><Kind>VMware ESXi</Kind><Version>8.0.2</Version></PlatformSection>
   <PropertySection>
         <Property oe:key="agent.answers" oe:value="not ours"/>
{rows}
   </PropertySection>
   <Entity oe:id="other"><PropertySection><Property oe:key="postern.mode" oe:value="server"/></PropertySection></Entity>
</Environment>
"""
TYPED = {
    "mode": "",
    "host_name": "mx1",
    "local_domain": "mail.example.org",
    "address": "192.0.2.10/24",
    "gateways": "192.0.2.1",
    "dns": "192.0.2.53, 192.0.2.54",
    "timezone": "Europe/Zurich",
    "domain": "example.com",
    "server": "192.0.2.25",
    "key": "",
    "password_hash": "$6$saltsaltsalt$" + "x" * 86,
    "answers": "",
    "secrets": "",
}


def environment(**typed: str) -> str:
    rows = (
        f"<Property oe:key={quoteattr(f'postern.{key}')} oe:value={quoteattr(value)}/>" for key, value in typed.items()
    )
    return ENVIRONMENT.format(rows="\n".join(rows))
