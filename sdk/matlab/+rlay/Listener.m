classdef Listener < handle
%LISTENER A listening socket: MATLAB's tcpserver, or in Octave a socket of its package sockets.
%   Octave's tcpserver cannot end a connection, and keeps it open even where the peer has ended it.
  properties
    port
  end
  properties (Access = private)
    server % a tcpserver, or a descriptor
    isOctave
    isAccepted = false % of a tcpserver, which has one connection at a time
    isLocal
  end
  methods
    function self = Listener(host, port, isLocal)
      self.isOctave = exist('OCTAVE_VERSION', 'builtin') ~= 0;
      self.isLocal = isLocal;
      if ~self.isOctave
        self.server = tcpserver(host, port);
        self.port = self.server.ServerPort;
        return
      end
      pkg('load', 'sockets');
      if port == 0
        % The package cannot tell which port the system has chosen.
        pkg('load', 'instrument-control');
        free = tcpserver(host, 0);
        port = free.ServerPort;
        clear free
      end
      self.server = rlay.descriptor(@() socket(AF_INET, SOCK_STREAM, 0));
      setsockopt(self.server, SOL_SOCKET, SO_REUSEADDR, 1);
      try
        isBound = bind(self.server, double(port)) == 0 && listen(self.server, 128) == 0;
      catch
        isBound = false;
      end
      if ~isBound
        self.close();
        error('rlay:address', 'cannot listen at port %d; another program may have it', port);
      end
      self.port = double(port);
    end
    function number = descriptor(self)
      number = self.server;
    end
    function yes = hasPeer(self)
      %HASPEER Whether there is something to accept; of MATLAB's tcpserver, which cannot be waited for.
      yes = self.server.Connected && ~self.isAccepted;
    end
    function channel = accept(self)
      %ACCEPT The channel of the next peer, or [] if there is none. Raises an error where it cannot be accepted.
      channel = [];
      if ~self.isOctave
        isNew = self.hasPeer();
        self.isAccepted = self.server.Connected;
        if isNew
          channel = rlay.Channel(self.server, 'server');
        end
        return
      end
      if select(self.server + 1, self.server, [], [], 0) < 1
        return
      end
      [number, info] = rlay.descriptor(@() accept(self.server));
      if number < 0
        return
      end
      channel = rlay.Channel(number, 'descriptor');
      % The package listens at all addresses, whatever was asked for.
      if self.isLocal && ~strncmp(info.sin_addr, '127.', 4)
        channel.close();
        channel = [];
      end
    end
    function close(self)
      if self.isOctave && ~isempty(self.server)
        disconnect(self.server);
      end
      self.server = [];
    end
    function delete(self)
      self.close();
    end
  end
end
