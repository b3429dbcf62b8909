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
    function send(self, bytes)
      %SEND Sends all of it. Sets isLost where that fails.
      try
        while ~isempty(bytes)
          if ~self.isOctave
            write(self.socket, bytes, 'uint8');
            return
          elseif strcmp(self.kind, 'descriptor')
            n = send(self.socket, bytes);
          else
            n = write(self.socket, bytes);
          end
          if n <= 0
            self.isLost = true;
            return
          end
          bytes = bytes(double(n) + 1:end);
        end
      catch
        self.isLost = true;
      end
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
