// Holds the connection to agents, apart from the headers of sockets, which clash with Unreal's.

#pragma once

#include "CoreMinimal.h"

THIRD_PARTY_INCLUDES_START
#include "rlay/codec.hpp"
THIRD_PARTY_INCLUDES_END

namespace rlay
{
class Backend;
}

/** Listens for agents, or dials them. It never blocks unless Poll is told to wait. */
class FRlayConnection
{
public:
	FRlayConnection(rlay::Spec Spec, const std::string& Address, bool bListens, rlay::Options Options);
	~FRlayConnection();

	/** What an agent asks for, or nothing yet. */
	std::optional<rlay::Turn> Poll(double Seconds);

	/** With the port that the system has chosen, if it was 0. */
	std::string GetAddress() const;

	/** Why nothing will ever come, or none. */
	rlay::Error GetError() const;

private:
	std::unique_ptr<rlay::Backend> Backend;
};
