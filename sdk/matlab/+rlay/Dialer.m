classdef Dialer < handle
%DIALER Dials for one session, and again after it was refused or has lost its connection.
  properties
    session
    link = [] % while there is one
    dialAt = 0
    pause = 0.02 % in seconds, after the next refusal
  end
  properties (Access = private)
    reconnectTimeout
    lossPause = 0
    receivedBefore = intmax('uint64')
    giveUpAt = 0
  end
  methods
    function self = Dialer(options)
      self.session = rlay.EnvSession(options);
      self.reconnectTimeout = options.reconnectTimeout;
      if isempty(self.reconnectTimeout)
        self.reconnectTimeout = 30;
      end
    end
    function link = dial(self, lookup, port)
      link = rlay.Link(self.session.dial(), rlay.Channel.dial(lookup, port));
      link.dialer = self;
      self.link = link;
    end
    function refused(self)
      %REFUSED Dials again after a pause, for an attempt to connect and to shake hands has failed.
      self.dialAt = rlay.clock() + self.pause;
      self.pause = longer(self.pause);
    end
    function lost(self)
      %LOST Dials again, for a session has lost its connection.
      % Connections that bring nothing but a Welcome are not made without a pause.
      if self.session.received == self.receivedBefore
        self.lossPause = longer(self.lossPause);
      else
        self.lossPause = 0;
      end
      self.receivedBefore = self.session.received;
      self.pause = 0.02;
      now = rlay.clock();
      self.dialAt = now + self.lossPause;
      self.giveUpAt = now + self.reconnectTimeout;
    end
    function yes = isLate(self)
      %ISLATE Whether a session that has lost its connection has had its time.
      yes = rlay.clock() > self.giveUpAt;
    end
  end
end

function pause = longer(pause)
  pause = min(max(2 * pause, 0.02), 1);
end
