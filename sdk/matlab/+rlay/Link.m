classdef Link < handle
%LINK A connection, its channel, and until when its handshake and its end may take.
  properties
    connection
    channel
    dialer = [] % the rlay.Dialer that has made it
    isOver = false
  end
  properties (Access = private)
    since
    deadline % of connecting, then of the handshake
    endsAt = Inf
    unsent = zeros(1, 0, 'uint8')
    sent = 0 % how many of these bytes are sent already
    isSending = false
    stuckSince = Inf % since when the peer takes nothing although there is something for it
  end
  methods
    function self = Link(connection, channel)
      self.connection = connection;
      self.channel = channel;
      self.since = rlay.clock();
      self.deadline = self.since + 5;
    end
    function connect(self)
      %CONNECT Goes on to connect, where that is under way.
      if ~self.channel.isConnecting
        return
      end
      self.channel.connect();
      if ~self.channel.isConnecting
        % The time of the handshake begins here, for an environment may have been at work meanwhile.
        self.deadline = rlay.clock() + 5;
      end
    end
    function yes = wantsToRead(self)
      % Does not read from a peer that does not read, else its answers would fill the memory.
      isStuck = self.sent < numel(self.unsent) && ~self.connection.isFinished;
      yes = ~self.channel.isConnecting && ~self.channel.isLost && ~isStuck;
    end
    function yes = wantsToWrite(self)
      yes = ~self.channel.isLost && (self.channel.isConnecting || self.sent < numel(self.unsent));
    end
    function yes = isTimed(self)
      %ISTIMED Whether its time may be over soon.
      yes = ~self.connection.isOpen || self.connection.isFinished;
    end
    function receive(self)
      %RECEIVE Takes what has arrived.
      bytes = self.channel.receive();
      if isempty(self.connection.session) && self.channel.isEnded()
        % A dialer that gave up while an environment was at work is not to take the place of its next attempt.
        self.channel.isLost = true;
        return
      end
      self.connection.receive(bytes);
    end
    function yes = isNew(self)
      %ISNEW Whether its handshake is about to be completed, and Make is about to follow it.
      connection = self.connection;
      isAwaited = connection.isShaking() || (connection.isOpen && ~connection.session.hasBegun);
      yes = isAwaited && ~self.isOver && rlay.clock() - self.since < 0.1;
    end
    function flush(self)
      %FLUSH Sends what there is and the peer takes.
      if self.isOver || self.channel.isConnecting || self.channel.isLost
        return
      elseif self.isSending
        % An interrupt came in between, so how much was sent is not known.
        self.channel.isLost = true;
        return
      end
      while true
        if self.sent == numel(self.unsent)
          % Not before the rest is sent: joining the two would copy a large frame each time.
          self.unsent = self.connection.take();
          self.sent = 0;
          self.stuckSince = Inf;
        end
        if isempty(self.unsent)
          return
        end
        self.isSending = true;
        n = self.channel.send(self.unsent, self.sent);
        self.sent = self.sent + n;
        self.isSending = false;
        if self.sent < numel(self.unsent)
          break
        end
      end
      now = rlay.clock();
      if n > 0 || isinf(self.stuckSince)
        self.stuckSince = now;
      elseif now - self.stuckSince > 60
        self.channel.isLost = true;
      end
    end
    function settle(self)
      %SETTLE Sends what there is, gives up what takes too long, and closes the channel where the connection has ended.
      connection = self.connection;
      channel = self.channel;
      self.flush();
      now = rlay.clock();
      if channel.isConnecting && now > self.deadline
        channel.fail('connecting took too long');
      end
      if ~isempty(channel.failure)
        connection.abort(rlay.failure(10, channel.failure));
      elseif connection.isShaking() && now > self.deadline
        connection.abort(rlay.failure(10, 'the handshake took too long'));
      end
      if connection.isFinished && isinf(self.endsAt)
        % Reads on for a second: closing over unread bytes resets the connection, and the peer may lose what was sent
        % last.
        self.endsAt = now + 1;
      end
      isDone = (connection.isAborted || now > self.endsAt) && ~strcmp(channel.kind, 'server');
      if channel.isLost || isDone
        self.close();
      end
    end
    function close(self)
      if ~self.isOver
        self.isOver = true;
        self.channel.close();
        self.connection.lost();
      end
    end
  end
end
