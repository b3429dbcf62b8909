classdef Channel < handle
%CHANNEL A socket of one connection, which never waits, except that write and tcpclient do in MATLAB.
%   kind is 'descriptor' (of Octave's package sockets), 'client' (a tcpclient of MATLAB) or 'server' (a tcpserver of
%   MATLAB, which cannot end the connection that it has).
  properties
    kind
    isConnecting = false
    isLost = false
    failure = '' % why it could not be connected
  end
  properties (Access = private)
    socket
    place % what it dials
  end
  methods
    function self = Channel(socket, kind, place)
      self.socket = socket;
      self.kind = kind;
      if strcmp(kind, 'descriptor')
        setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
      end
      if nargin > 2
        self.place = place;
        self.isConnecting = true;
        self.connect();
      end
    end
    function number = descriptor(self)
      number = self.socket;
    end
    function connect(self)
      %CONNECT Goes on to connect, where isConnecting says that this is under way.
      try
        connect(self.socket, self.place);
        self.isConnecting = false;
      catch err
        % The package raises an error for each outcome. On Linux 115 and 114 say that it takes time, and 106 that it is
        % done.
        code = regexp(err.message, 'error (\d+)', 'tokens', 'once');
        if isempty(code) || ~any(str2double(code{1}) == [106 114 115])
          self.fail(err.message);
        elseif strcmp(code{1}, '106')
          self.isConnecting = false;
        end
      end
    end
    function fail(self, why)
      %FAIL Gives up to connect.
      self.isConnecting = false;
      self.isLost = true;
      self.failure = why;
    end
    function yes = isReadable(self)
      %ISREADABLE Whether receive() has something to tell; of MATLAB's sockets, which cannot be waited for.
      try
        yes = self.socket.NumBytesAvailable > 0 || (strcmp(self.kind, 'server') && ~self.socket.Connected);
      catch
        yes = true;
      end
    end
    function bytes = receive(self)
      %RECEIVE What has arrived, where there is something. Sets isLost at the end.
      bytes = zeros(1, 0, 'uint8');
      try
        if strcmp(self.kind, 'descriptor')
          [bytes, n] = recv(self.socket, 65536, MSG_DONTWAIT);
        else
          n = double(self.socket.NumBytesAvailable);
          if n > 0
            bytes = read(self.socket, n, 'uint8');
          end
        end
        bytes = reshape(uint8(bytes), 1, []);
        self.isLost = n <= 0;
      catch
        self.isLost = true;
      end
    end
    function yes = isEnded(self)
      %ISENDED Whether the peer has ended the connection, and all of what it sent was received.
      yes = self.isLost;
      if yes || ~strcmp(self.kind, 'descriptor') || select(self.socket + 1, self.socket, [], [], 0) < 1
        return
      end
      try
        [~, n] = recv(self.socket, 1, MSG_PEEK + MSG_DONTWAIT);
        yes = n <= 0;
      catch
        yes = true;
      end
    end
    function n = send(self, bytes, from)
      %SEND Sends what the peer takes now of what follows so many bytes, and returns how much. Sets isLost where that
      %   fails.
      at = from + 1;
      try
        while at <= numel(bytes)
          if ~strcmp(self.kind, 'descriptor')
            write(self.socket, bytes(at:end), 'uint8');
            n = numel(bytes);
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
      n = min(at - 1, numel(bytes)) - from;
    end
    function close(self)
      if strcmp(self.kind, 'descriptor')
        disconnect(self.socket);
      end
      self.socket = [];
    end
  end
  methods (Static)
    function self = dial(lookup, port)
      %DIAL A channel to a listener at the host of an rlay.Lookup. Octave on Linux connects while the program does other
      %   things.
      try
        if exist('OCTAVE_VERSION', 'builtin') == 0
          socket = tcpclient(lookup.host, port, 'ConnectTimeout', 5, 'EnableTransferDelay', false);
          self = rlay.Channel(socket, 'client');
          return
        end
        self = dialDescriptor(lookup.get(), port);
      catch err
        self = rlay.Channel([], 'client');
        self.fail(err.message);
      end
    end
  end
end

function channel = dialDescriptor(address, port)
  flags = 0;
  if ~isempty(strfind(computer(), 'linux')) %#ok<STREMP>
    flags = 2048; % SOCK_NONBLOCK, which only Linux has with this number
  end
  place = struct('addr', address, 'port', port);
  number = rlay.descriptor(@() socket(AF_INET, SOCK_STREAM + flags, 0));
  channel = rlay.Channel(number, 'descriptor', place);
end
