// Makes the backend of a connection. No other file includes the headers of sockets.

#include "RlayConnection.h"

#if PLATFORM_WINDOWS
#include "Windows/AllowWindowsPlatformTypes.h"
#endif
THIRD_PARTY_INCLUDES_START
#include "rlay/rlay.hpp"
THIRD_PARTY_INCLUDES_END
#if PLATFORM_WINDOWS
#include "Windows/HideWindowsPlatformTypes.h"
#endif

FRlayConnection::FRlayConnection(rlay::Spec Spec, const std::string& Address, bool bListens, rlay::Options Options)
{
	if (bListens)
	{
		Backend = std::make_unique<rlay::ServerBackend>(std::move(Spec), Address, std::move(Options));
	}
	else
	{
		Backend = std::make_unique<rlay::ClientBackend>(std::move(Spec), Address, std::move(Options));
	}
}

FRlayConnection::~FRlayConnection() = default;

std::optional<rlay::Turn> FRlayConnection::Poll(double Seconds)
{
	return Backend->poll(Seconds);
}

std::string FRlayConnection::GetAddress() const
{
	return Backend->address();
}

rlay::Error FRlayConnection::GetError() const
{
	return Backend->error();
}
