classdef Channel < handle
%CHANNEL A connected socket.
%   kind is 'client' (a tcpclient of MATLAB, or of Octave's package instrument-control), 'server' (a tcpserver of
%   MATLAB, which cannot end the connection that it has) or 'descriptor' (of Octave's package sockets).
  properties
    isLost = false
    kind
  end
  properties (Access = private)
    socket
    isOctave
  end
  methods
    function self = Channel(socket, kind)
      self.socket = socket;
      self.kind = kind;
      self.isOctave = exist('OCTAVE_VERSION', 'builtin') ~= 0;
      if strcmp(kind, 'descriptor')
        setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
      end
    end
    function number = descriptor(self)
      number = self.socket;
    end
    function bytes = receive(self, timeout)
      %RECEIVE What has arrived; waits for at most so many seconds if that is nothing. Sets isLost at the end.
      bytes = zeros(1, 0, 'uint8');
      try
        if strcmp(self.kind, 'descriptor')
          if select(self.socket + 1, self.socket, [], [], timeout) > 0
            [bytes, n] = recv(self.socket, 65536, MSG_DONTWAIT);
            self.isLost = n <= 0;
            bytes = reshape(uint8(bytes), 1, []);
          end
          return
        end
        n = self.socket.NumBytesAvailable;
        if n == 0
          bytes = self.wait(timeout);
          n = self.socket.NumBytesAvailable;
        end
        if n > 0
          bytes = [bytes reshape(uint8(read(self.socket, double(n), 'uint8')), 1, [])];
        end
        self.isLost = isempty(bytes) && strcmp(self.kind, 'server') && ~self.socket.Connected;
      catch
        self.isLost = true;
      end
    end
    function rest = send(self, bytes)
      %SEND Sends what the peer takes now, and returns the rest. Sets isLost where that fails.
      %   Only a descriptor can tell that a peer takes nothing; other sockets wait until all is sent.
      at = 1;
      try
        while at <= numel(bytes)
          if ~self.isOctave
            write(self.socket, bytes, 'uint8');
            n = numel(bytes);
          elseif ~strcmp(self.kind, 'descriptor')
            n = write(self.socket, bytes(at:end));
          elseif select(self.socket + 1, [], self.socket, [], 0) > 0
            % In pieces, for each call copies what it is given.
            n = send(self.socket, bytes(at:min(at + 65535, end)), MSG_DONTWAIT);
          else
            break
          end
          if n <= 0
            self.isLost = true;
            break
          end
          at = at + double(n);
        end
      catch
        self.isLost = true;
      end
      rest = bytes(at:end);
    end
    function close(self)
      if strcmp(self.kind, 'descriptor')
        disconnect(self.socket);
      end
      self.socket = [];
    end
  end
  methods (Access = private)
    function bytes = wait(self, timeout)
      if self.isOctave
        % Octave's read returns what is there when the time is over, and only the next one fails where the connection
        % has ended meanwhile: so the time is short.
        self.socket.Timeout = max(min(timeout, 0.05), 0.001);
        bytes = reshape(read(self.socket, 1), 1, []);
        return
      end
      bytes = zeros(1, 0, 'uint8');
      started = tic();
      while self.socket.NumBytesAvailable == 0 && toc(started) < timeout
        pause(0.001);
      end
    end
  end
end
