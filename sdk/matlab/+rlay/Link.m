classdef Link < handle
%LINK A connection, its channel, and until when its handshake and its end may take.
  properties
    connection
    channel
    deadline
    endsAt = Inf
    isOver = false
    unsent = zeros(1, 0, 'uint8')
  end
  properties (Access = private)
    stuckSince = Inf % since when the peer takes nothing although there is something for it
  end
  methods
    function self = Link(connection, channel)
      self.connection = connection;
      self.channel = channel;
      self.deadline = rlay.clock() + 5;
    end
    function settle(self)
      %SETTLE Sends what there is, and closes the channel where the connection has ended.
      connection = self.connection;
      now = rlay.clock();
      self.write(now);
      if connection.isShaking() && now > self.deadline
        connection.abort(rlay.failure(10, 'the handshake took too long'));
      end
      if connection.isFinished && isinf(self.endsAt)
        % Reads on for a second: closing over unread bytes resets the connection, and the peer may lose what was sent
        % last.
        self.endsAt = now + 1;
      end
      if self.channel.isLost
        connection.lost();
      end
      isDone = (connection.isAborted || now > self.endsAt) && ~strcmp(self.channel.kind, 'server');
      if self.channel.isLost || isDone
        self.channel.close();
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
