classdef Link < handle
%LINK A connection, its channel, and until when its handshake and its end may take.
  properties
    connection
    channel
    dialer = [] % the rlay.Dialer that has made it
    isOver = false
  end
  properties (Access = private)
    deadline
    endsAt = Inf
    unsent = zeros(1, 0, 'uint8')
    stuckSince = Inf % since when the peer takes nothing although there is something for it
  end
  methods
    function self = Link(connection, channel)
      self.connection = connection;
      self.channel = channel;
      self.deadline = rlay.clock() + 5;
    end
    function yes = wantsToRead(self)
      % Does not read from a peer that does not read, else its answers would fill the memory.
      isStuck = ~isempty(self.unsent) && ~self.connection.isFinished;
      yes = ~self.channel.isConnecting && ~self.channel.isLost && ~isStuck;
    end
    function yes = wantsToWrite(self)
      yes = ~self.channel.isLost && (self.channel.isConnecting || ~isempty(self.unsent));
    end
    function yes = isTimed(self)
      %ISTIMED Whether its time may be over soon.
      yes = ~self.connection.isOpen || self.connection.isFinished;
    end
    function settle(self)
      %SETTLE Sends what there is, and closes the channel where the connection has ended.
      connection = self.connection;
      channel = self.channel;
      now = rlay.clock();
      if channel.isConnecting && now > self.deadline
        channel.fail('connecting took too long');
      end
      if ~isempty(channel.failure)
        connection.abort(rlay.failure(10, channel.failure));
      elseif channel.isConnecting
        return
      else
        self.write(now);
      end
      if connection.isShaking() && now > self.deadline
        connection.abort(rlay.failure(10, 'the handshake took too long'));
      end
      if connection.isFinished && isinf(self.endsAt)
        % Reads on for a second: closing over unread bytes resets the connection, and the peer may lose what was sent
        % last.
        self.endsAt = now + 1;
      end
      if channel.isLost
        connection.lost();
      end
      isDone = (connection.isAborted || now > self.endsAt) && ~strcmp(channel.kind, 'server');
      if channel.isLost || isDone
        channel.close();
        self.isOver = true;
      end
    end
  end
  methods (Access = private)
    function write(self, now)
      bytes = [self.unsent self.connection.take()];
      if isempty(bytes)
        return
      end
      self.unsent = self.channel.send(bytes);
      if isempty(self.unsent)
        self.stuckSince = Inf;
      elseif numel(self.unsent) < numel(bytes) || isinf(self.stuckSince)
        self.stuckSince = now;
      elseif now - self.stuckSince > 60
        self.channel.isLost = true;
      end
    end
  end
end
